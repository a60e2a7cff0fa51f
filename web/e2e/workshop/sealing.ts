import "../../src/crypto/sealing.worker";
import { takeFeeds } from "./feed";

takeFeeds();
