"""Material for a paper, written from records alone: LaTeX tables, a paragraph about the protocol, and the sources."""
