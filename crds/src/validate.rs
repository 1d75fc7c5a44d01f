//! Pure rules that the CustomResourceDefinitions cannot say, shared by the webhook and the command line.
