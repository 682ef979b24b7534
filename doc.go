// Package kata runs containers in virtual machines of their own, at the speed
// of containers. This package is only the root of the tree: it holds the tests
// that keep the house rules, and does not hold any of the program, which is in
// cmd/ and in the packages those commands call.
package kata
