package stats

import (
	"math"
	"testing"
)

func TestOf(t *testing.T) {
	in := []float64{5, 1, 4, 2, 3, 10, 6, 9, 7, 8}
	want := Summary{N: 10, Min: 1, Median: 5.5, P90: 9, Max: 10}
	if got := Of(in); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	if in[0] != 5 {
		t.Error("the samples were reordered")
	}
	if got := Of([]float64{7}); got != (Summary{1, 7, 7, 7, 7}) {
		t.Errorf("one sample: %+v", got)
	}
	if Of(nil) != (Summary{}) || !math.IsNaN(Median(nil)) {
		t.Error("no samples")
	}
	if got := Median([]float64{3, 1, 2}); got != 2 {
		t.Errorf("median %v", got)
	}
}
