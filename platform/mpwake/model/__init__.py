"""The platform model: agents as programs, the step function, its twin, the simulator. Imports evidence."""
