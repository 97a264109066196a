"""The model: backbone, classifier, domain discriminator, and the bundle that is deployed."""
