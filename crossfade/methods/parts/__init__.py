"""What methods are put together from: labellers, mixing, teachers, losses over clips."""
