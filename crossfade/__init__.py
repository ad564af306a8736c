"""crossfade: adapt a video segmentation model trained on synthetic driving video to real video, without labels."""
