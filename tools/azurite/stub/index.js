// Stands for packages that Azurite does not use here: telemetry and databases, five sixths of it.
module.exports = {};
