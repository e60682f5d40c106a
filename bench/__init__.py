"""The benchmark suite: named scenarios on real servers, their figures, goals and plots. See docs/benchmark.md."""
