// Package stats summarises the benchmark's samples. It does not know units or take
// measurements.
package stats

import (
	"math"
	"slices"
)

// Summary describes a set of samples in the samples' own unit. All fields are 0
// for an empty set.
type Summary struct {
	N      int     `json:"n"`
	Min    float64 `json:"min"`
	Median float64 `json:"median"`
	P90    float64 `json:"p90"`
	Max    float64 `json:"max"`
}

// Of summarises samples, which it does not change.
func Of(samples []float64) Summary {
	if len(samples) == 0 {
		return Summary{}
	}
	s := slices.Sorted(slices.Values(samples))
	return Summary{N: len(s), Min: s[0], Median: middle(s), P90: rank(s, 0.9), Max: s[len(s)-1]}
}

// Median returns the median, the mean of the two middle samples if their number
// is even, and NaN without samples.
func Median(samples []float64) float64 {
	if len(samples) == 0 {
		return math.NaN()
	}
	return middle(slices.Sorted(slices.Values(samples)))
}

// middle is the median of sorted samples.
func middle(s []float64) float64 {
	n := len(s)
	if n%2 == 1 {
		return s[n/2]
	}
	return (s[n/2-1] + s[n/2]) / 2
}

// rank is the nearest-rank quantile q (0 to 1) of sorted samples.
func rank(s []float64, q float64) float64 {
	i := int(math.Ceil(q*float64(len(s)))) - 1
	return s[min(max(i, 0), len(s)-1)]
}
