"""Networks and autoencoders, built on MONAI."""
