"""Statistics that prediction, training and verification share: kriging, what stands at stations, boosted trees, samples."""
