//! Findings over event time: correlation, the windows of alerts, and the state that lasts.
