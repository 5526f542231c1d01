-- Who told the inventory last of a device, and devices that left it: their newest row says so, because
-- a row can only be replaced.

ALTER TABLE aiops.devices ADD COLUMN IF NOT EXISTS updated_by String;
ALTER TABLE aiops.devices ADD COLUMN IF NOT EXISTS removed UInt8 DEFAULT 0;
