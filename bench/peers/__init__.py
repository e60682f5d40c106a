"""What the product is compared with, run beside it in the same minutes."""
