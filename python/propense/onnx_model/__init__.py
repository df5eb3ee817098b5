"""ONNX models: made from LightGBM, taken over from other trainers, and checked before use."""
