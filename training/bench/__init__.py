"""What an update of one block costs, measured on random weights of a real shape (`python -m training.bench`)."""
