import { Link } from "@tanstack/react-router";

import { Empty } from "../parts/Empty";

/** An address that leads nowhere. */
export function Missing() {
  return (
    <Empty title="There is no such view">
      <Link to="/" className="link">
        To the packs
      </Link>
    </Empty>
  );
}
