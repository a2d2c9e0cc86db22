// Liveliness on top of pages that work without it.
"use strict";

document.documentElement.classList.add("k-has-js");
