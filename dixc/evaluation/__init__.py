"""What is measured of a functional on one molecule."""
