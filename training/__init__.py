"""The only place with gradients: the trainer, its loss, advantages and layer choice."""
