import { Link } from "@tanstack/react-router";

import { Empty } from "../parts/Empty";
import { Heading } from "../parts/Heading";

/** An address that leads nowhere. */
export function Missing() {
  return (
    <>
      <Heading title="There is no such view" />
      <Empty title="Nothing is at this address">
        <Link to="/" className="link">
          To the packs
        </Link>
      </Empty>
    </>
  );
}
