"""Adapt plankton image classifiers to a new camera whose images nobody has labelled."""
