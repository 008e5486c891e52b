"""What `make doctor` looks at. Each check yields findings; nothing is changed."""
