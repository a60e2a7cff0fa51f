import "../../src/crypto/opening.worker";
import { takeFeeds } from "./feed";

takeFeeds();
