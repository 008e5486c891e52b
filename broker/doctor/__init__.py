"""The checks of `make doctor`. Each yields findings and changes nothing."""
