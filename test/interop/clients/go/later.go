package main

// later begins at once and lets whoever asks wait for the result.
func later[T any](begin func() (T, error)) func() (T, error) {
	var value T
	var err error
	done := make(chan struct{})
	go func() {
		defer close(done)
		value, err = begin()
	}()
	return func() (T, error) {
		<-done
		return value, err
	}
}
