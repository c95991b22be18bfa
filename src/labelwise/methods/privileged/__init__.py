"""Methods for what is known in training alone: columns or pictures that the model will not have where it is used."""

from labelwise.methods.privileged.columns import check_taken, encode_hidden, withhold
from labelwise.methods.privileged.lupi import Lupi, teach

__all__ = ["Lupi", "check_taken", "encode_hidden", "teach", "withhold"]
