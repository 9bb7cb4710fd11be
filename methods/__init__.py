"""The built-in methods of parameter-efficient transfer learning (PETL), and their baselines and controls."""
