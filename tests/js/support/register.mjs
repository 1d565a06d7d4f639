// `node --import ./tests/js/support/register.mjs`: page scripts import "@shared/…" as they do in the build.
import { register } from "node:module";

register("./resolve.mjs", import.meta.url);
