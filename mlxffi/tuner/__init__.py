"""Fine-tuning over mlxffi.core: data, optimizers, adapters, models, a trainer, and a command line.

Each part can be used without those above it:

  datasets, optimizers, schedules, losses     of nothing but arrays and files
  layers, lora                                linear layers as functions of a tree's nodes, and adapters of them
  models                                      what can be trained: functions of trees, mlx.nn modules, our own decoder
  trainer, distributed                        steps, the loop around them, and the processes that share it
  cli                                         `mlxffi-lora`

docs/tuner.md begins with a first hour and says how they fit together.
"""
