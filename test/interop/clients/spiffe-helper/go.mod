module spiffe-helper-of-the-tests

go 1.25.3

require github.com/spiffe/spiffe-helper v0.11.0
