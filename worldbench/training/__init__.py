"""Training: the one trainer, the stream of documents that it reads, its checkpoints and its log."""
