import { useQueryClient } from "@tanstack/react-query";
import { useNavigate } from "@tanstack/react-router";

import type { Job, Pack } from "../api/shapes";

/** What a submission leads to: its pack if that is there already, else the job that builds it. */
export function useAnswered(): (answer: Pack | Job) => void {
  const client = useQueryClient();
  const navigate = useNavigate();
  return (answer) => {
    void client.invalidateQueries({ queryKey: ["jobs"] });
    if (answer.object === "pack")
      void navigate({ to: "/packs/$packId", params: { packId: answer.pack_id } });
    else void navigate({ to: "/jobs/$jobId", params: { jobId: answer.id } });
  };
}
