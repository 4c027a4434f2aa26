"""What a run on tiles is made of: what it learns from, its networks, their training, its fields."""
