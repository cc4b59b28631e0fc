"""Which of the study's findings are larger than noise, and against which control. Numpy and scipy only."""
