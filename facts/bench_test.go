package facts

import "testing"

func BenchmarkCollect(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Collect(b.Context(), Config{}); err != nil {
			b.Fatal(err)
		}
	}
}
