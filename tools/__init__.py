"""Scripts for those who work on the gateway; `make` calls them."""
