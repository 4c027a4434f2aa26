"""Writers of the providers' own file formats."""
