//! The one integration target: whole handlers on the embedded AWS.

mod life;
