"""Methods that learn from mixtures of examples; `labelwise.methods.get` gives each by its name."""
