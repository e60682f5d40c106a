"""The pages of docs/reference, each made from the table that the product itself runs on. A test holds them together."""
