"""The model passes every method and every evaluation is made of."""
