"""Results for the tools people have: TensorBoard, MLflow, Optuna and Weights & Biases. One file per tool.

Each writes through the tool's own library, into files that need no server and no network. The libraries are extras.
"""
