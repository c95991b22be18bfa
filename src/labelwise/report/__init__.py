"""Drawing it: the facts of a run as one plain dictionary, then as one page that opens offline."""

from labelwise.report.about import ABOUT, kinds_of, read_about
from labelwise.report.page import write
from labelwise.report.summary import to_dict

__all__ = ["ABOUT", "kinds_of", "read_about", "to_dict", "write"]
