//! How the windows of a measurement lie in time.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::keys::{CorrelationKeys, KeyError};
use crate::duration::TimeSpan;

/// How windows lie in time.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Window {
    /// The time before each finding.
    #[default]
    Sliding,
    /// One after the other, from 1970 on.
    Tumbling,
    /// From the first finding until `gap` without one, at most `within` long.
    Session,
}

/// The windows over which a number is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(into = "WindowKeys")]
pub enum Windows {
    /// The time before each finding.
    Sliding {
        /// Their length.
        within: TimeSpan,
    },
    /// One after the other, from 1970 on.
    Tumbling {
        /// Their length.
        within: TimeSpan,
    },
    /// From the first finding on.
    Session {
        /// The time without a finding that ends a window.
        gap: TimeSpan,
        /// The longest that a window may be; without it, it lasts as long as findings come.
        within: Option<TimeSpan>,
    },
}

/// The keys that say how windows lie.
#[derive(Debug, Clone, Copy, Serialize, schemars::JsonSchema)]
pub(super) struct WindowKeys {
    /// Length of the window, such as `10m`.
    #[serde(skip_serializing_if = "Option::is_none")]
    within: Option<TimeSpan>,
    /// How windows lie in time.
    #[serde(skip_serializing_if = "Option::is_none")]
    window: Option<Window>,
    /// The time without a finding that ends a session, such as `10m`.
    #[serde(skip_serializing_if = "Option::is_none")]
    gap: Option<TimeSpan>,
}

impl Windows {
    /// Takes `window`, `within` and `gap`.
    pub(super) fn read(keys: &mut CorrelationKeys) -> Result<Self, KeyError> {
        Ok(match keys.optional("window")?.unwrap_or_default() {
            Window::Sliding => Self::Sliding {
                within: keys.required("within")?,
            },
            Window::Tumbling => Self::Tumbling {
                within: keys.required("within")?,
            },
            Window::Session => Self::session(keys)?,
        })
    }

    /// Makes windows of this kind and length.
    ///
    /// # Errors
    /// [`KeyError`]: sessions without `gap`, or a `gap` of others.
    pub fn new(window: Window, within: TimeSpan, gap: Option<TimeSpan>) -> Result<Self, KeyError> {
        match (window, gap) {
            (Window::Sliding, None) => Ok(Self::Sliding { within }),
            (Window::Tumbling, None) => Ok(Self::Tumbling { within }),
            (Window::Session, Some(gap)) => Ok(Self::Session {
                gap,
                within: Some(within),
            }),
            (Window::Session, None) => Err(KeyError::missing("gap")),
            (Window::Sliding | Window::Tumbling, Some(_)) => {
                Err(KeyError::new("gap", "is given, and only sessions use it"))
            }
        }
    }

    /// Takes `within` and `gap` of a session.
    pub(super) fn session(keys: &mut CorrelationKeys) -> Result<Self, KeyError> {
        Ok(Self::Session {
            gap: keys.required("gap")?,
            within: keys.optional("within")?,
        })
    }

    /// Returns how they lie in time.
    pub fn kind(self) -> Window {
        match self {
            Self::Sliding { .. } => Window::Sliding,
            Self::Tumbling { .. } => Window::Tumbling,
            Self::Session { .. } => Window::Session,
        }
    }

    /// Returns their length, or the longest that they may be.
    pub fn length(self) -> Option<TimeSpan> {
        match self {
            Self::Sliding { within } | Self::Tumbling { within } => Some(within),
            Self::Session { within, .. } => within,
        }
    }

    /// Returns the time without a finding that ends a session.
    pub fn gap(self) -> Option<TimeSpan> {
        match self {
            Self::Session { gap, .. } => Some(gap),
            Self::Sliding { .. } | Self::Tumbling { .. } => None,
        }
    }

    /// Returns how long a finding can matter, in microseconds.
    pub(super) fn memory_micros(self) -> i64 {
        let length = self.length().map_or(0, TimeSpan::micros);
        length.saturating_add(self.gap().map_or(0, TimeSpan::micros))
    }

    /// Returns what of them the meaning of a stored window depends on.
    pub(super) fn state_shape(self) -> Value {
        json!(self.kind())
    }
}

impl From<Windows> for WindowKeys {
    fn from(windows: Windows) -> Self {
        let window = windows.kind();
        Self {
            within: windows.length(),
            window: (window != Window::Sliding).then_some(window),
            gap: windows.gap(),
        }
    }
}
