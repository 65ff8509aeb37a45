//! Holds nothing. A build that asks for this example chooses the features that tests need of dependencies, and links nothing for
//! it: it is a library.
