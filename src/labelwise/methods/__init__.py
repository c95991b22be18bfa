"""How to learn: published training methods, each a `Method`, and fitting one to a table."""
