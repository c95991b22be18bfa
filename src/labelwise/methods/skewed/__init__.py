"""Methods for classes that are unequally frequent, or that come one after another; `get` gives each by its name."""
