"""Fine-tuning over mlxffi.core. So far: its losses."""
